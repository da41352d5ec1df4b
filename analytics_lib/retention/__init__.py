"""What may go, and when: pure policy over frames of counts. The pipeline archives and deletes."""
