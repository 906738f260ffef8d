"""What simulated devices have in common: their connection, their clock and the loop that runs them."""
