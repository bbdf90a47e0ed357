"""Results -> tables, plots and model cards."""
