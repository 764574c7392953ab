"""Speed and memory of ntkpipe, measured against what else there is."""
