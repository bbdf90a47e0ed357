"""Records of labelled pictures, where they come from, and how they are split."""
