// Plays the notes of a roll with plain tones, or its recording; the cursor follows, a click on the roll seeks.
(() => {
  const STEPS_PER_QUARTER = 12, AHEAD = 0.5;
  let context = null, playing = null;

  class Player {
    constructor(root) {
      this.root = root;
      this.find = name => root.querySelector(name);
      const data = JSON.parse(this.find("script.music").textContent);
      this.stepsPerSecond = data.qpm * STEPS_PER_QUARTER / 60;
      this.barSeconds = data.bar / this.stepsPerSecond;
      this.firstBar = data.first;
      this.length = data.steps / this.stepsPerSecond;
      this.notes = [...this.unpack(data.melody, 1), ...this.unpack(data.piano, 0.45)].sort((a, b) => a.at - b.at);
      this.audio = this.find("audio");
      this.source = this.find("select");
      this.button = this.find(".play");
      this.slider = this.find(".seek");
      this.scroll = this.find(".roll-scroll");
      this.strip = this.find(".strip");
      this.cursor = this.find(".cursor");
      this.position = 0;
      this.zoom = 1;
      this.find(".transport").hidden = false;
      if (this.audio) { this.audio.controls = false; this.audio.hidden = true; }
      this.slider.max = this.length;
      this.listen();
      this.show();
    }

    unpack(numbers, gain) {
      const notes = [];
      for (let i = 0, onset = 0; i < numbers.length; i += 3) {
        onset += numbers[i];
        notes.push({at: onset / this.stepsPerSecond, lasts: numbers[i + 1] / this.stepsPerSecond, pitch: numbers[i + 2], gain});
      }
      return notes;
    }

    listen() {
      this.button.addEventListener("click", () => playing === this ? this.pause() : this.play());
      this.slider.addEventListener("input", () => this.seek(+this.slider.value));
      this.source?.addEventListener("change", () => { if (playing === this) { this.pause(); this.play(); } });
      this.audio?.addEventListener("ended", () => this.finish());
      for (const area of this.root.querySelectorAll(".notes, .row")) area.addEventListener("click", event => {
        const frame = this.strip.getBoundingClientRect();
        this.seek((event.clientX - frame.left) / frame.width * this.length);
        this.root.dispatchEvent(new CustomEvent("bar", {detail: this.firstBar + Math.floor(this.position / this.barSeconds)}));
      });
      this.scroll.addEventListener("keydown", event => {
        const moves = {ArrowLeft: -this.barSeconds, ArrowRight: this.barSeconds};
        if (event.key === " ") this.button.click();
        else if (event.key in moves) this.seek(this.position + moves[event.key]);
        else return;
        event.preventDefault();
      });
      for (const button of this.root.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => {
        this.zoom = Math.max(1, Math.min(16, this.zoom * +button.dataset.zoom));
        this.strip.style.width = `${100 * this.zoom}%`;
        this.follow(true);
      });
    }

    get isRecording() { return Boolean(this.audio) && this.source.value === "recording"; }

    play() {
      playing?.pause();
      if (this.position >= this.length - 0.05) this.position = 0;
      playing = this;
      this.button.textContent = "❚❚ Pause";
      if (this.isRecording) {
        this.audio.currentTime = this.position;
        this.audio.play();
      } else this.startTones();
      const frame = () => {
        if (playing !== this) return;
        this.position = this.isRecording ? this.audio.currentTime : context.currentTime - this.started;
        if (this.position >= this.length && !this.isRecording) return this.finish();
        this.show();
        this.follow(false);
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    }

    startTones() {
      context ??= new AudioContext();
      context.resume();
      this.output = new GainNode(context, {gain: 0.22});
      this.output.connect(context.destination);
      this.started = context.currentTime + 0.05 - this.position;
      this.next = this.notes.findIndex(note => note.at >= this.position - 0.01);
      if (this.next < 0) this.next = this.notes.length;
      const schedule = () => {
        const until = context.currentTime - this.started + AHEAD;
        for (; this.next < this.notes.length && this.notes[this.next].at < until; this.next++) this.sound(this.notes[this.next]);
      };
      schedule();
      this.timer = setInterval(schedule, 100);
    }

    sound(note) {
      const start = Math.max(context.currentTime, this.started + note.at), end = start + Math.max(note.lasts, 0.12);
      const tone = new OscillatorNode(context, {type: "triangle", frequency: 440 * 2 ** ((note.pitch - 69) / 12)});
      const level = new GainNode(context, {gain: 0});
      level.gain.setValueAtTime(0, start);
      level.gain.linearRampToValueAtTime(note.gain, start + 0.008);
      level.gain.setTargetAtTime(note.gain * 0.25, start + 0.01, 0.5);
      level.gain.setTargetAtTime(0, end, 0.06);
      tone.connect(level).connect(this.output);
      tone.start(start);
      tone.stop(end + 0.4);
    }

    pause() {
      if (playing === this) playing = null;
      this.button.textContent = "▶ Play";
      clearInterval(this.timer);
      this.audio?.pause();
      this.output?.disconnect();
    }

    finish() { this.pause(); this.position = 0; this.show(); }

    seek(seconds) {
      const goesOn = playing === this;
      if (goesOn) this.pause();
      this.position = Math.max(0, Math.min(this.length, seconds));
      this.show();
      if (goesOn) this.play();
    }

    show() {
      const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
      const share = Math.min(1, this.position / this.length);
      const lastBar = this.firstBar + Math.max(0, Math.round(this.length / this.barSeconds) - 1);
      const bar = Math.min(this.firstBar + Math.floor(this.position / this.barSeconds + 1e-6), lastBar);
      this.cursor.style.left = `${100 * share}%`;
      this.slider.value = this.position;
      this.slider.setAttribute("aria-valuetext", `${clock(this.position)}, bar ${bar}`);
      this.find(".clock").textContent = `${clock(this.position)} of ${clock(this.length)} · bar ${bar}`;
    }

    follow(always) {
      const room = this.scroll.clientWidth, at = this.position / this.length * this.strip.clientWidth;
      if (always || at < this.scroll.scrollLeft || at > this.scroll.scrollLeft + room * 0.9)
        this.scroll.scrollLeft = at - room * 0.1;
    }
  }

  for (const root of document.querySelectorAll(".player")) root.player = new Player(root);
})();
