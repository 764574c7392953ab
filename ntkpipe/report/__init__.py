"""The page of all results.

| module         | content                                                            |
| -------------- | ------------------------------------------------------------------ |
| `page.py`      | what the page shows; `page.html.jinja` and `style.css` lay it out  |
| `doubts.py`    | which numbers of a study are missing or doubtful                   |
| `gallery.py`   | the figures of the sources                                         |
| `thumbnail.py` | a small picture of a picture                                       |

This index imports neither a study nor a slow package. Numbers are written by
`ntkpipe.text`, as everywhere.
"""

from ntkpipe.report.page import FigurePage, StudyPage, layout, page
from ntkpipe.report.thumbnail import thumbnail

__all__ = ["FigurePage", "StudyPage", "layout", "page", "thumbnail"]
