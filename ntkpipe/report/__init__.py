"""The page of all studies.

| module         | content                                                            |
| -------------- | ------------------------------------------------------------------ |
| `page.py`      | contents of the page; `page.html.jinja` and `style.css` its layout |
| `charts.py`    | the interactive charts; `charts.js` and `charts.css` draw them     |
| `doubts.py`    | notes on missing or doubtful numbers of a study                    |
| `gallery.py`   | the figures of the sources                                         |
| `thumbnail.py` | thumbnails of pictures                                             |

This index imports neither a study nor a slow package. `ntkpipe.text` formats numbers.
"""
