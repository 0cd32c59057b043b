"""What a speech recogniser makes of a sound and of its reconstructions."""
