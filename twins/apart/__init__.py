"""Steps in plain Python in processes of their own, so that whatever they do concerns one twin."""
