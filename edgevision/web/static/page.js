// Shows the page anew every two seconds; grey while the service does not answer.
const place = document.getElementById("now");
setInterval(async () => {
  try {
    const answer = await fetch("/now", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    place.innerHTML = await answer.text();
    place.classList.remove("gone");
  } catch {
    place.classList.add("gone");
  }
}, 2000);
