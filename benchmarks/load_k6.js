// k6's side of benchmarks/load.py: posts the bodies it is given, signed ahead, in turn.
import http from "k6/http";
import { SharedArray } from "k6/data";
import exec from "k6/execution";

const given = new SharedArray("given", () => JSON.parse(open(__ENV.GIVEN)));

export const options = {
  vus: Number(__ENV.VUS),
  duration: __ENV.DURATION,
  discardResponseBodies: true,
  thresholds: { http_req_failed: ["rate==0"] },
};

export default function () {
  const one = given[exec.scenario.iterationInTest % given.length];
  http.post(__ENV.URL, one.body, {
    headers: { "Content-Type": "application/json; charset=utf-8", "Stripe-Signature": one.signed },
  });
}
