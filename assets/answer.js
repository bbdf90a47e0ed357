// On a phone the answer appears below the fold.
watch("value", () => {
  if (element.getBoundingClientRect().top > innerHeight / 2) element.scrollIntoView();
});
