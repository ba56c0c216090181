"""What generates traffic: the engine of layer 1, the machines of layer 3, hand-written parts."""
