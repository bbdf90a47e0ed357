// A report as it comes: saved as a file. The value is { name, type, text } or { message }.
watch("value", () => {
  const { name, type, text, message = "" } = props.value ?? {};
  if (text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
  document.dispatchEvent(new CustomEvent("fakeface-report", { detail: message }));
});
