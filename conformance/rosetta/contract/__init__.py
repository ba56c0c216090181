"""What spec/ says: loaded, modelled, and applied to answers."""
