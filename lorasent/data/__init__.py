"""Labelled reviews, from the top down.

slices       reviews -> row numbers by value of a column
labelled     labels by id, whose texts stay in their source
reviews      source, or what is in memory -> labelled reviews; repeated texts
arrays       source -> Arrow arrays, in batches, without a Python object for each cell
sources      source -> columns: one row for each kind of source, and folders
huggingface  data sets of the library `datasets`: on the hub, in its cache, or saved in a folder
memory       lists, dicts, a pandas frame or a Dataset -> columns
formats      a file -> columns: one row for each file format
storage      files by path, glob or URL, on this machine or in a store of objects
columns      blocks of columns, with class labels as names
labels       what a label is called -> its id
"""
