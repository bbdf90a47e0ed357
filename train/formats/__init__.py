"""A shipped model as a file for another runtime: phones, browsers, edge devices."""
