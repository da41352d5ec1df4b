"""What `ResourceCollector` is made of: from probes to samples on their way."""
