"""What music is: values only, no files, no statistics, no tensors."""
