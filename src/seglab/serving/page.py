"""The page at `/`: what the model is, its classes, how it is called, and a form to try it."""

from __future__ import annotations

from html import escape
from string import Template

from seglab.reports.html_document import document
from seglab.serving.served import ServedModel

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}
td,th{padding:.2rem .8rem .2rem 0;text-align:left}
i{display:inline-block;width:1.4rem;height:1.4rem;border:1px solid #888;vertical-align:middle}
pre{background:light-dark(#f2f2f2,#26292f);padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}
img{max-width:100%;min-width:16rem;image-rendering:pixelated;border:1px solid #888}
"""
# Without it the form works too: the browser then shows the mask in the place of the page, and has no key to send.
_SCRIPT = """
const one = (id) => document.getElementById(id), form = document.querySelector("form")
let place = ""
one("here").textContent = location.href.replace(/[?#].*/, "")
form.addEventListener("submit", async (event) => {
  event.preventDefault()
  const key = one("key").value, shown = one("shown")
  shown.textContent = "…"
  try {
    const headers = key ? {"X-API-Key": key} : {}
    const answer = await fetch("predict", {method: "POST", body: new FormData(form), headers})
    if (answer.status === 401) one("with-key").hidden = false
    shown.replaceChildren(...(answer.ok ? await mask(answer) : [refusal(await answer.json())]))
  } catch (error) { shown.textContent = `No answer: ${error.message}` }
})
function refusal(problem) {
  const found = document.createElement("p")
  found.textContent = [problem.title, problem.detail, problem.remedy].filter(Boolean).join(". ")
  return found
}
async function mask(answer) {
  const told = document.createElement("p"), content = await answer.blob()
  URL.revokeObjectURL(place)  // of the mask before, which the browser would hold until the page is left
  place = URL.createObjectURL(content)
  const flat = answer.headers.get("content-type") === "image/png"
  const found = document.createElement(flat ? "img" : "a")
  if (flat) Object.assign(found, {src: place, alt: "the mask, in the colours of the classes"})
  else Object.assign(found, {href: place, download: "mask.nii.gz", textContent: "mask.nii.gz"})
  const of = (name) => answer.headers.get(name), sure = Number(of("x-mean-confidence")).toFixed(3)
  told.textContent = `Of ${of("x-bundle")}, mean confidence ${sure}; orientation: ${of("x-orientation")}.`
  return [found, told]
}
"""
_BODY = Template("""<h1>$name</h1>
<p>A model that says of every $element of $what what it shows. It runs on $runtime in $precision, as
<code>$label</code>.$made_of</p>
<h2>Classes</h2>
<table><tr><th></th><th>class</th><th>value in the mask</th></tr>$rows</table>
<h2>Calling it</h2>
<pre>curl --data-binary @$file -H 'Content-Type: $type' <span id="here"></span>predict -o $answer</pre>
<p><code>Accept: application/json</code> asks for shares and boxes instead of the mask. <a href="docs">docs</a> tell
every address, <a href="metrics">metrics</a> what was asked so far.</p>
<h2>Trying it</h2>
<form method="post" action="predict" enctype="multipart/form-data">
<p><label>$what_one <input type="file" name="image" accept="$ending" required></label> <button>predict</button></p>
<p id="with-key" hidden><label>Key of this service <input id="key" type="password" autocomplete="off"></label></p>
</form>
<div id="shown" role="status"></div>""")


_WITHOUT_MODEL = """<h1>Masks from clicks and boxes</h1>
<p>No model is served here. <a href="annotate">annotate</a> makes masks by hand in a browser; programs begin with
<code>POST /sessions</code>. <a href="docs">docs</a> tell every address, <a href="metrics">metrics</a> what was asked so
far.</p>
<p>With a model, <code>seglab serve &lt;model&gt; interactive=true</code>, images are predicted here, too.</p>"""


def page(model: ServedModel) -> str:
    """HTML; whatever comes from the model is escaped."""
    task = model.task
    rows = "".join(
        f'<tr><td><i style="background:rgb({",".join(str(int(part)) for part in row["color"])})"></i></td>'
        f"<td>{escape(str(row['name']))}</td><td>{row['value']}</td></tr>"
        for row in model.classes()
    )
    flat = task.rank == 2
    body = _BODY.substitute(
        name=escape(model.name),
        element="pixel" if flat else "voxel",
        what="an image" if flat else "a volume",
        what_one="Image (PNG, JPEG, TIFF, BMP)" if flat else "Volume (NIfTI)",
        ending=".png,.jpg,.jpeg,.tif,.tiff,.bmp" if flat else ".nii,.gz",
        runtime=escape(model.runtime),
        precision=escape(model.precision),
        label=escape(model.label),
        rows=rows,
        made_of=escape(_made_of(model)),
        file="street.png" if flat else "scan.nii.gz",
        type="image/png" if flat else "application/gzip",
        answer="mask.png" if flat else "mask.nii.gz",
    )
    return document(model.name, body, style=_STYLE, script=_SCRIPT)


def _made_of(model: ServedModel) -> str:
    """What stands between the network and the mask, where there is more than one network alone."""
    stages = " A first stage finds a mask, which the network of the second one sees too." if model.stages > 1 else ""
    members = f" It is the mean of {model.members} networks." if model.members > 1 else ""
    steps = f" Of each mask: {'; '.join(model.postprocessing)}." if model.postprocessing else ""
    return stages + members + steps


def page_without_model() -> str:
    """HTML where no model is served."""
    return document("seglab", _WITHOUT_MODEL, style=_STYLE, script="")
