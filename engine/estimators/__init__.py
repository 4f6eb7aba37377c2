"""From the losses of probes to the numbers that directions are multiplied by. No torch: floats alone."""
