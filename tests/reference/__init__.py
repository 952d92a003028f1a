"""What PyTorch and this project must compute alike, and the scripts that store its answers."""
