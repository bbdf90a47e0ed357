"""ConvNeXt-Tiny on WildDeepfake, with the published hyper-parameters."""

from train.training.recipes._published import reproduce

RECIPE = reproduce("convnext_tiny", swaps=True)
