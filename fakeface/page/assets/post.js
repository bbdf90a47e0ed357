// Sends a file to the server, for drop.js and pick.js, and returns its path there; an error is one
// sentence for the visitor. Gradio's own `upload` would show another one, in its own words.
async function post(file) {
  const form = new FormData();
  form.append("files", new File([file], "photo", { type: file.type })); // the real name goes beside it
  let why = "The file could not be sent; check the connection and try again.";
  try {
    const answer = await fetch("gradio_api/upload", { method: "POST", body: form });
    if (answer.ok) return (await answer.json())[0];
    if (answer.status === 503) why = await answer.text();
  } catch {} // the connection was lost
  throw new Error(why);
}
