"""The page of all studies.

| module         | content                                                        |
| -------------- | -------------------------------------------------------------- |
| `page.py`      | contents of the page                                           |
| `rows.py`      | the claims as the page shows them                              |
| `forest.py`    | the axis on which all claims are drawn                         |
| `links.py`     | which claims stand beside which figure                         |
| `pictures.py`  | pictures packed in the page, and stills                        |
| `doubts.py`    | notes on missing or doubtful numbers of a study                |
| `gallery.py`   | the figures of the sources                                     |
| `thumbnail.py` | thumbnails of pictures, for the manual                         |
| `explorable.py` | numbers of two networks that train in the page                |
| `theorem.py`   | numbers of the theorem's pictures, and of "lazy or rich"       |
| `network.js`   | a network that trains in the browser, and its linearisation    |
| `plot.js`      | charts of `explorable.js` and `theorem.js`, with sliders       |
| `*.jinja`      | the layout: `page.html.jinja`, and a file for each section     |
| `*.css`, `*.js` | styles; the table of claims (`claims`), all else (`page`)     |
| `release.csv`  | the verdicts of the last release, written by `docs/refresh.py` |

This index imports neither a study nor a slow package. `ntkpipe.text` formats numbers.
"""
