"""What a route's actions do to a running call; one file each."""
