"""The models: a ResNet101 encoder, the generator, the refiner, and their files."""
