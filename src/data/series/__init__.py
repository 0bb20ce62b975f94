"""Series: windows over CSV files, NYSE and generated waveforms."""
