"""ConvNeXt-Tiny on WildDeepfake, with the published hyper-parameters."""

from train.training.recipes._published import published

RECIPE = published("convnext_tiny", swaps=True)
