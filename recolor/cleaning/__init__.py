"""From a folder of photographs to the list of images that are kept: index, measure, detect, select."""
