"""Images: MNIST, CIFAR-100, digits and folders of image files."""
