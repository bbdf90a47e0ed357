"""ResNet-18 on 140k Real and Fake Faces, with the published hyper-parameters."""

from train.training.recipes._published import reproduce

RECIPE = reproduce("resnet18", swaps=False)
