"""FastPitch with a windowed HiFi-GAN vocoder."""
