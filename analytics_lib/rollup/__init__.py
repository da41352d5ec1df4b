"""Rollups: raw rows of whole UTC hours in, mergeable hourly rows out. Pure: frames in, frames out."""
