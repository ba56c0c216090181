"""The events of every change, and the websockets that tell of them."""
