"""What leaves the platform: masks of new scans, scores of any two folders, and models for other tools."""
