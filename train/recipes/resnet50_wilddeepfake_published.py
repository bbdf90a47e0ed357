"""ResNet-50 on WildDeepfake, with the published hyper-parameters."""

from ._published import published

RECIPE = published("resnet50", swaps=True)
