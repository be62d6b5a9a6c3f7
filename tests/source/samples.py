"""A small valid text for every language that has a grammar."""

from __future__ import annotations

SAMPLES: dict[str, str] = {
    "python": """\
# A comment.
class Shape(object):
    \"\"\"A shape.\"\"\"

    def area(self, unit="cm"):
        for side in self.sides:
            if side:
                return f"{side} {unit}"
        return 'none'

    def name(self):
        pass


def main():
    print("hello")
""",
    "javascript": """\
// A comment.
import fs from "fs";

class Shape {
  constructor(side) {
    this.side = side;
  }

  area() {
    return `${this.side} cm`;
  }
}

function main() {
  if (fs) {
    console.log('hello', /a+/);
  }
}

const later = () => {
  main();
};
""",
    "typescript": """\
// A comment.
interface Sides { count: number }

export class Shape implements Sides {
  count: number = 4;

  area(unit: string): string {
    return "cm" + unit;
  }
}

function main<T>(given: T): void {
  console.log(`hello ${given}`);
}
""",
    "typescriptreact": """\
// A comment.
export function Greeting({ name }: { name: string }) {
  return <p className="big">Hello {name}</p>;
}
""",
    "rust": """\
// A comment.
/// A shape.
struct Shape {
    side: u32,
}

impl Shape {
    fn area(&self) -> u32 {
        self.side * self.side
    }

    fn name(&self) -> &'static str {
        match self.side {
            0 => "none",
            _ => "square",
        }
    }
}

fn main() {
    println!("hello {}", r#"raw"#);
}
""",
    "go": """\
// A comment.
package main

import "fmt"

type Shape struct {
	Side int
}

func (s Shape) Area() int {
	for i := 0; i < 3; i++ {
		fmt.Println("hello", `raw`, 'r')
	}
	return s.Side
}

func main() {
}
""",
    "java": """\
// A comment.
package shapes;

/** A shape. */
public class Shape {
    private final int side = 4;

    public int area() {
        if (side > 3) {
            return side * side;
        }
        return 0;
    }

    String name() {
        return "square";
    }
}
""",
    "c": """\
/* A comment. */
#include <stdio.h>

struct shape {
    int side;
};

int area(struct shape *s) {
    // Square.
    return s->side * s->side;
}

int main(void) {
    printf("hello %d\\n", 'c');
    return 0;
}
""",
    "cpp": """\
// A comment.
#include <string>

namespace shapes {

class Shape {
public:
    int area() const {
        return side * side;
    }

private:
    int side = 4;
};

}  // namespace shapes

int main() {
    std::string name = "square";
    auto raw = R"(raw)";
    return 0;
}
""",
    "csharp": """\
// A comment.
using System;

namespace Shapes
{
    public class Shape
    {
        public int Side { get; set; }

        public int Area()
        {
            return Side * Side;
        }

        string Name() => $"square {Side}";
    }
}
""",
    "ruby": """\
# A comment.
class Shape
  def initialize(side)
    @side = side
  end

  def area
    if @side > 3
      puts "hello #{@side}"
    end
    @side * @side
  end
end

def main
  [1, 2].each do |side|
    Shape.new(side)
  end
end
""",
    "php": """\
<?php
// A comment.
namespace Shapes;

class Shape
{
    private int $side = 4;

    public function area(): int
    {
        if ($this->side) {
            echo "hello $this->side";
        }
        return $this->side * $this->side;
    }
}

function main() {
    return 'none';
}
""",
    "shellscript": """\
#!/bin/bash
# A comment.
area() {
  local side="$1"
  if [ "$side" -gt 3 ]; then
    echo "hello ${side}"
  fi
}

for side in 1 2 3; do
  area $side
done
""",
    "lua": """\
-- A comment.
local Shape = {}

function Shape.area(self)
  if self.side then
    return self.side * self.side
  end
  return "none"
end

local function main()
  for i = 1, 3 do
    print("hello")
  end
end
""",
    "kotlin": """\
// A comment.
package shapes

class Shape(val side: Int) {
    fun area(): Int {
        return side * side
    }

    fun name() = "square $side"
}

fun main() {
    if (true) {
        println("hello")
    }
}
""",
    "swift": """\
// A comment.
import Foundation

class Shape {
    var side = 4

    func area() -> Int {
        return side * side
    }
}

func main() {
    if true {
        print("hello")
    }
}
""",
    "scala": """\
// A comment.
package shapes

class Shape(side: Int) {
  def area: Int = {
    side * side
  }
}

object Main {
  def main(args: Array[String]): Unit = {
    println("hello")
  }
}
""",
    "html": """\
<!DOCTYPE html>
<!-- A comment. -->
<html>
<body class="big">
<p>hello</p>
</body>
</html>
""",
    "css": """\
/* A comment. */
.shape {
  color: red;
  content: "hello";
}

@media print {
  .shape { color: black; }
}
""",
    "json": """\
{
  "side": 4,
  "names": ["square", null]
}
""",
    "toml": """\
# A comment.
[shape]
side = 4
name = "square"

[[corners]]
x = 1
""",
    "yaml": """\
# A comment.
shape:
  side: 4
  names:
    - "square"
    - other
other: text
""",
    "markdown": """\
# Shapes

A *square* is a shape.

- one
- two

```python
print("hello")
```
""",
    "sql": """\
-- A comment.
CREATE TABLE shapes (
  id INTEGER PRIMARY KEY,
  name TEXT
);

SELECT name FROM shapes WHERE name = 'square';
""",
    "zig": """\
// A comment.
const std = @import("std");

const Shape = struct {
    side: u32,

    fn area(self: Shape) u32 {
        return self.side * self.side;
    }
};

pub fn main() void {
    if (true) {
        std.debug.print("hello", .{});
    }
}
""",
}
