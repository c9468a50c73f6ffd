"""A verdict or an evaluation as people and programs read it. From the top down.

github       annotations of a job, and the comment on a pull request
tracked      a run at experiment trackers
card         a section of a model card
evaluation   one self-contained HTML file about one adapter
markdown     a summary for a job or a pull request: verdict, three figures, the worst flips
page         one self-contained HTML file about a verdict
sarif        faults of the files, for code scanning
schema       the JSON Schema of a verdict
cards        what an adapter or recorded evidence is
terminal     lines for a terminal
plots        the figures of a page
details      what a page shows beyond findings
differences  what was compared, as rows: metric, slices, behaviours, proper scores
flips        the reviews whose label changed, and the words that carried it
parts        what all of them say: the findings that do not pass first, then what was not checked, then the rest
render       templates, which are in templates/, to one HTML file
svg          a matplotlib figure as inline SVG
"""
