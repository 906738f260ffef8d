"""What an author of twin types needs before anything is deployed: a folder to begin with, and a trial on recordings."""
