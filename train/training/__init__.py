"""Recipes, the unfreezing schedule, the loop, distillation, the patch loss."""
