"""The only room that imports ray."""
