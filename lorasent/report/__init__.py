"""A verdict as people and programs read it. From the top down.

github    annotations of a job, and the comment on a pull request
tracked   a run at experiment trackers
card      a section of a model card
markdown  a summary for a job or a pull request: verdict, three figures, the worst flips
page      one self-contained HTML file
sarif     faults of the files, for code scanning
schema    the JSON Schema of a verdict
terminal  lines for a terminal
parts     what all of them say: the findings that do not pass first, then what was not checked, then the rest
"""
