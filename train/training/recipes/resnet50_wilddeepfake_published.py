"""ResNet-50 on WildDeepfake, with the published hyper-parameters."""

from train.training.recipes._published import reproduce

RECIPE = reproduce("resnet50", swaps=True)
