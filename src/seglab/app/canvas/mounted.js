// The canvas as an element of Streamlit: its files come from the API, and Streamlit gets only accepted and rejected masks.

export default async function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const host = parentElement.querySelector(".canvas");
  const api = new URL(data.api, document.baseURI).href;
  const { mount } = await import(`${api}annotate/canvas.js`);
  host.canvas ??= mount(host, { api, onJudged: (outcome) => setTriggerValue("judged", outcome) });
  if (data.image && host.image !== data.image) {
    host.image = data.image;
    host.canvas.open({ image: data.image }, data.image);
  }
  return () => setTimeout(() => host.isConnected || host.canvas.close(), 1000); // another page is looked at
}
