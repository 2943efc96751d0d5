"""One file for each provider; its SDK or model is imported only when its name is chosen."""
