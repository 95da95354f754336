"""What a person steers: color, regions and the like. Imported only when used."""
