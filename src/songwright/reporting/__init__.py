"""What was judged and explained, as pages: one HTML file each, with nothing fetched from elsewhere."""
