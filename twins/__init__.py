"""What a twin is: its functions and models, the rows they work on, commands, events and the catalogue of types."""
