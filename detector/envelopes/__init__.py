"""What a payload can be: one module for each shape, each pure, bytes in and meaning out."""
