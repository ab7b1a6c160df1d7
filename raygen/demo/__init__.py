"""The main job on what ships with the package."""
