"""Training, evaluation and export of the models that fakeface ships."""
