/** Asking again and again: at the server's interval, only while somebody sees the page, more seldom while it fails. */

import { Refusal } from "./api.js";

const LONGEST_SECONDS = 240;
const USUAL_SECONDS = 15;

export class Poll {
  /**
   * @param {function(AbortSignal): Promise<Object>} load
   * @param {function(Object)} show what was loaded; its `interval_seconds`, if it has one, is the pause
   * @param {function(Error, number)} fail why it was not, and the seconds until the next try
   */
  constructor(load, show, fail) {
    Object.assign(this, { load, show, fail, failures: 0, seconds: USUAL_SECONDS, stopped: false });
    this.visibility = () => (document.visibilityState === "visible" ? this.now() : this.pause());
    document.addEventListener("visibilitychange", this.visibility);
  }

  /** Ask at once. */
  async now() {
    this.pause();
    if (this.stopped || document.visibilityState !== "visible") return;
    const request = new AbortController();
    this.request = request;
    try {
      const answer = await this.load(request.signal);
      if (request.signal.aborted) return;
      this.seconds = answer.interval_seconds ?? this.seconds;
      this.failures = 0;
      this.again(this.seconds);
      this.show(answer);
    } catch (error) {
      if (request.signal.aborted) return;
      if (!(error instanceof Refusal)) reportError(error);
      this.failures += 1;
      const wait = Math.min(this.seconds * 2 ** (this.failures - 1), LONGEST_SECONDS);
      this.again(wait);
      this.fail(error, wait);
    }
  }

  again(seconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(), seconds * 1000);
  }

  /** Ask no more until the page is seen again. */
  pause() {
    clearTimeout(this.timer);
    this.request?.abort();
  }

  /** Ask no more. */
  stop() {
    this.stopped = true;
    this.pause();
    document.removeEventListener("visibilitychange", this.visibility);
  }
}
