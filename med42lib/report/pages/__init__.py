"""Tables, figures and the pages they stand on."""
